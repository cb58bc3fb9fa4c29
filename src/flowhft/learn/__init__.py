"""Learning to quote: demonstrations of experts, imitation, adaptation."""
