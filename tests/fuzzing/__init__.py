"""Mutational fuzzing of all that reads what others wrote: `make fuzz`, or `python -m fuzzing` in tests/.

mutate    input -> another one, by the form of its file
seeds     small valid inputs
targets   what reads them, and what it must keep: an error of ours or a result without NaN, in bounded memory
worker    tries inputs in a process of its own, which may hang, grow or die
__main__  keeps the corpus, counts, and says what failed
"""
