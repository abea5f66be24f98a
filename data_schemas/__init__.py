"""The format of a cache: codes, arrays, tables, manifest. Specification, schema, reader and writer follow from it."""
