"""Registers: the small compare-and-set record at a third place that decides who may be active.

Public: file.FileRegister, etcd.EtcdRegister, standing.StandingRegister.
"""
