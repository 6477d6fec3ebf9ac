"""Mutations: rules about money that are broken one at a time, each with the test that fails for it."""
