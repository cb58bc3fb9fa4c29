"""Walk-forward: calibrate on a window, adapt, trade the next one, roll on; nothing is known of the future.

walk        from a recording to a judged walk in a run folder
windows     which windows there are, from the times of the sessions alone
trade       one window: calibrate, choose, adapt, freeze, replay, close; the work of one task
store       what a window found, as files: a walk that was interrupted goes on after its last window
forward     from the first window to the last
join        windows one behind the other, as one path that is judged
"""
