"""`builder run`: the gateway of a built image on this machine, for development.

    listening.py  on which ports, and the files that say so to nginx
    place.py      the sandbox that nginx runs in, as data; what of the checkout stands in it for the image's own
    instance.py   the process that runs now: the files below out/run/, and how a second command finds the first
    tree.py       the processes of a sandbox, as the host counts them
    service.py    runs nginx until it is told to end
    reload.py     tests what was edited and has the running nginx take it
"""

from builder.run.serving.instance import Instance, claim, running
from builder.run.serving.listening import Listener, Listening
from builder.run.serving.place import Place
from builder.run.serving.reload import reload
from builder.run.serving.service import Service

__all__ = ["Instance", "Listener", "Listening", "Place", "Service", "claim", "reload", "running"]
