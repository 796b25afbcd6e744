"""Tests that need an NVIDIA GPU and SGLang: skipped without a GPU, a failure with REQUIRE_GPU=1."""
