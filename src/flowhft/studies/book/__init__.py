"""The study of makers that see the book: learned and judged on recordings, by rules that were fixed before.

protocol  what is learned from and judged on, of every recording, and with which settings
judged    policies on a part of a recording: money by blocks of time, over all phases of the decisions
controls  what a maker earns whose signals are shifted in time, turned round or left out
stages    one recording
document  the page
"""
