"""From the integers of `quant` to files that devices run: TFLite graphs and what checks them."""
