"""What touches the world: camera, GPIO, SQLite, MQTT, the service manager, and their simulators."""
