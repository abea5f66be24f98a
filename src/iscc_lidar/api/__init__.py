"""What ``import iscc_lidar`` offers: functions for NumPy arrays and tensors, over preprocessing and training.

It may import every other part; none imports it. Heavy packages are imported when a function is called.
"""
