"""What class weights and balanced sampling do for rare classes and their maps."""
