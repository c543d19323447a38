"""Alembic runs this file: the steps that are missing, in the transaction that `schema.upgrade` began."""

from __future__ import annotations

from alembic import context

from cryptosupport.ledger.tables import REVISION, metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, version_table=REVISION)
context.run_migrations()
