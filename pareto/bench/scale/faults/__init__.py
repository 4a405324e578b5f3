"""Whatever is killed, hung or restarted: what is lost, what is made twice, and how long it takes to go on."""
