"""`python -m cryptosupport` is the same as the installed script."""

from cryptosupport.commands import main

main()
