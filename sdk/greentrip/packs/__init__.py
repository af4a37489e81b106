"""Builds and describes region packs: `greentrip-pack`. A tool for a computer; no phone imports it."""
