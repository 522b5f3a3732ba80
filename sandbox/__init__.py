"""The other side of the wire: payment gateways and SMS for demo and tests.

A program of its own (``python -m sandbox``). It speaks the real protocols with its
own keys, imports nothing of the shop, and nothing of the shop imports it.
Routes, fields and faults: ``docs/sandbox.md``.
"""
