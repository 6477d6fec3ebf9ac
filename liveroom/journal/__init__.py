"""The journal: the only way between gateways, engines and consoles."""
