"""The flow policy in the lab: a network that carries noise to a chunk of quotes, given what a maker senses."""
