"""`mlflow models serve` of the estimator, saved as MLflow saves it.

python serve_mlflow.py MODEL.joblib DIRECTORY PORT
"""

import os
import sys
from pathlib import Path

import joblib
import mlflow.sklearn

if __name__ == "__main__":
    file, directory, port = sys.argv[1:]
    mlflow.sklearn.save_model(joblib.load(file), directory, serialization_format="cloudpickle")
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", directory, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", port, "--workers", "1"]
    os.chdir(Path(directory).parent)
    os.execv(sys.executable, command)
