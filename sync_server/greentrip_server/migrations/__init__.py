"""The tables' history: one file a step in `versions/`, run by `db.upgrade()`."""
