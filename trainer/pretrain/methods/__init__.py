"""Methods of pre-training, one file each: what is pooled in two views, which loss follows, what is remembered."""
