"""File formats of datasets that are both read and written, or read in several places."""
