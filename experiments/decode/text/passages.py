"""What a decoder of text is measured on: a text to read, one to calibrate on, and questions.

All of it was written for this purpose, so that no model has seen it in training. Not here: how it
is measured (study.py).
"""

READ = """\
The lighthouse at Karrow Point stopped working on a Tuesday in November, and for three nights \
nobody in the village said a word about it. On the fourth night the baker walked up the path with \
a torch and a bag of tools. He had repaired ovens for twenty years, and he thought that a lamp \
could not be much harder than an oven.

The door was not locked. Inside, the stairs went round and round, and the wind made a low sound in \
the walls, like someone humming with his mouth closed. At the top the baker found the keeper, \
sitting on a wooden chair and reading a book about bees.

"The light is out," said the baker.

"I know," said the keeper. "I turned it off. The last ship passed here in 1998. Since then I have \
burned nine tonnes of oil for the gulls."

The baker put down his tools and thought about it. "My grandmother looks at it every night before \
she sleeps," he said at last. "She is ninety-one. She asked me on Wednesday whether the world had \
ended."

The keeper closed his book. He stood up, walked to the switch, and put his hand on it. "Why did \
she not come herself?" he asked.

"There are one hundred and forty steps," said the baker.

The lamp came on slowly, first red, then yellow, then white. Far below, in a small house near the \
harbour, a curtain moved. "Well," said the keeper, "that is one more ship than I counted." \
From then on he lit the lamp at nine every evening, and every Sunday there was a loaf of bread, \
still warm, on the lowest step.
"""
"""The text that is read, some 350 tokens of SmolLM2."""

CALIBRATION = """\
Rivers carry sand and stones from the mountains to the sea. A fast river can move large rocks, \
but when the water slows down, the heavy pieces fall to the bottom first, and only fine mud \
travels on. This is why the bed of a river near its source is rough, while its mouth is soft and \
flat. Over thousands of years the mud builds new land, which people call a delta.

To measure how much sand a river carries, you can take 2 litres of water, let it stand for 24 \
hours, pour the clear part away and weigh what is left. If the sample holds 3 grams, then each \
cubic metre of the river holds about 1.5 kilograms. Is that a lot? It depends: the Yellow River \
in China has carried more than 30 kilograms in each cubic metre, so that its water looks like \
thin soup.
"""
"""The text that schemes are calibrated on."""

QUESTIONS = (
    "What is the capital of Italy, and which river flows through it?",
    "Explain in one sentence why the sky is blue.",
    "Write three names for a small grey cat.",
    "What is 14 + 9?",
    "Which is heavier, a kilogram of iron or a kilogram of wool?",
    "Continue the story: The old clock struck thirteen, and",
)
"""Questions that are answered greedily."""
