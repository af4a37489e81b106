"""`greentrip-server demo`: the main job from end to end, with a real server, a real phone process and a real cut."""
