"""How long a leg was: from a track, over the rail network, or between end points."""
