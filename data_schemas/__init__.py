"""What a cache looks like on disk: codes, arrays, tables, manifest. The single source of the format."""
