"""The flow policy in the lab: a network that carries noise to quotes, given what a maker senses."""
