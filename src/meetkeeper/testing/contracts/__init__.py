"""One suite per port: what every implementation, fake or real, must do.

A suite is a class of tests asking for the implementation by fixture; writing an adapter means inheriting
its suite.
"""
