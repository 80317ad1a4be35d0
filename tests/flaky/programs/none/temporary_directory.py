import os
import tempfile

with tempfile.TemporaryDirectory() as directory:
    path = os.path.join(directory, "file")
    with open(path, "w") as file:
        file.write("text")
    assert os.listdir(directory) == ["file"]
