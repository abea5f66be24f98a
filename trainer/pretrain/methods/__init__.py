"""Methods of pre-training, one file each: its options, what it pools in two views, its losses."""
