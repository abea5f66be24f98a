"""The native engine: kernel maps, convolution over them, layers."""
