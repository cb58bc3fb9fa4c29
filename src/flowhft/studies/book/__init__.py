"""The study of makers that see the book: learned and evaluated on recordings, by rules fixed before.

protocol  what is learned from and evaluated on, of every recording, and with which settings
outcomes  policies on a part of a recording: money by blocks of time, over all phases of the decisions
controls  what a maker earns whose signals are shifted in time, turned round or left out
stages    one recording
document  the page
"""
