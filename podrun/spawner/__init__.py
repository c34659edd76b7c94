"""The process that forks, parents and reaps every process of every pod, and its client."""
