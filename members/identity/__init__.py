"""Signing in with WeChat and QQ: two thin clients, and what the shop makes of them.

``wechat`` and ``qq`` speak to the providers. ``binding`` decides whose account it is,
``journey`` guards the way there and back, ``pending`` keeps whom it brought, and ``views``
are the pages.
"""
