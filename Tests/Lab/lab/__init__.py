"""Tidegate's lab: a small internet made of network namespaces.

Nothing is set up in the root namespace: no address, no route, no rule. Every namespace of an instance is named
``tg-<id>-<role>``, every control group ``tg-<id>-<role>`` too, and everything else lives under ``/run/tidegate-lab/<id>``,
so what a killed run left behind is found by name alone. See ``network.py`` for the map.
"""
