"""The tests mirror the tree of src/scenograph."""
