"""How many machines a crowd needs: arithmetic from measured costs, behind `liveroom plan`."""
