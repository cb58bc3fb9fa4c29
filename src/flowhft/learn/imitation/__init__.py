"""Imitation: a flow policy from demonstrations, distilled where one evaluation is asked, and examined."""
