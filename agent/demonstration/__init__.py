"""`doorward demo`: the main job played for real on a simulated door, from photographs that walk."""
