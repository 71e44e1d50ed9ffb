"""Zero-shot super-resolution: a network that learns from one stack how its own detail is lost, and puts it back.

Shocher, Cohen, Irani: "Zero-Shot" Super-Resolution using Deep Internal Learning, CVPR 2018.
"""
