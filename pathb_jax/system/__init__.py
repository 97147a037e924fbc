"""The machine a command runs on: devices, memory, signals, the program itself."""
