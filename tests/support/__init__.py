"""What tests stand on: faults in process and from outside, power cuts, tools."""
