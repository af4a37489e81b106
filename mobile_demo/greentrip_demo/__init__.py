"""greentrip_demo: a small app on the SDK `greentrip`. Only `app` imports Kivy; the rest runs and is tested without."""
