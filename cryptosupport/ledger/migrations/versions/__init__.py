"""The steps, in the order of their numbers. One that was released is never changed: a new one follows it."""
