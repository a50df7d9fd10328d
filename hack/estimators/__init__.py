"""Every estimator of scikit-learn that predicts: fitted, packed, compiled, compared, and served."""
