"""The engine of this package: kernel maps, convolution over them, layers."""
