"""Ranks that say their process id and wait, without importing anything heavy."""

import json
import os
import time

if __name__ == "__main__":
    import threading

    from asymreinforce.experiment.worker import _stop_with_the_parent

    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    os.write(1, f"{json.dumps({'say': str(os.getpid())})}\n".encode())
    time.sleep(60)
