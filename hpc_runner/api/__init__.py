"""The parts of the code running tool, under the names that its documentation gives them."""
