"""The recipe in torch: dtypes of weights and arithmetic, autocast, the loss scaler, layers in fp32."""
