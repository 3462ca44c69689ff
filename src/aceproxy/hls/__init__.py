"""HLS out: lists made from the ring's blocks, and who watches by them."""
