"""The paper (Kim et al. 2023, arXiv 2310.00488): its claims, published scores, the theory, the findings."""
