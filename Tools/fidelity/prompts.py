"""What the models are asked. Nothing here was calibrated with: those questions are Sources/GristConversion/Calibration/Samples/conversations.json."""

PROMPTS = [
    "What is the capital of France and why is it famous?", "Write a short poem about the sea.", "How do I bake sourdough bread?",
    "Explain photosynthesis to a child.", "List three uses for a paperclip.", "What causes the seasons?", "Tell me a story about a lost dog.",
    "How does a bicycle stay upright?", "What are the main ideas of stoicism?", "Give me tips for sleeping better.",
    "Who wrote Pride and Prejudice?", "Describe how rain forms.", "What is recursion in programming?",
    "Write a Python function that reverses a string.", "Why do cats purr?", "What should I see in Rome?", "Explain compound interest.",
    "What is a prime number?", "How are mountains made?", "Write a thank you note to a teacher.",
    "What is the difference between weather and climate?", "How do vaccines work?", "Name the planets in order.", "What makes a good leader?",
    "How do magnets work?", "Write a haiku about winter.", "What is the tallest mountain on Earth?", "Explain how a bill becomes a law.",
    "What are good names for a cat?", "Describe the taste of coffee.", "How far away is the moon?", "Give me a recipe for pancakes.",
    "What is machine learning?", "Why do leaves change colour in autumn?", "Who was Cleopatra?", "How do I change a bicycle tyre?",
    "Write an apology to a neighbour for the noise.", "What is the boiling point of water at high altitude?", "List five countries in Africa.",
    "How do submarines dive?", "Explain supply and demand.", "Tell me a joke about computers.",
    "What is the difference between a virus and a bacterium?", "Describe a day in the life of a farmer.", "How is chocolate made?",
    "What does a manager do?", "Write a short story about a dragon.", "What is the Pythagorean theorem?", "How do birds navigate?",
    "Give three arguments for learning history.", "What is a healthy breakfast?", "Who painted the Mona Lisa?", "How does a refrigerator work?",
    "Write a product description for a lamp.", "What are the primary colours?", "Why is sleep important?", "Explain what an algorithm is.",
    "How do I start a small garden?", "What is the speed of light?", "Describe the city of Paris.", "What is a metaphor? Give an example.",
    "How do earthquakes happen?", "Write a Python loop that prints the even numbers.", "What should I say in a toast at a wedding?",
    "How is paper recycled?", "What are the rules of football?", "Explain evolution in two sentences.", "Why do we have leap years?",
    "What are the symptoms of a cold?", "How do you play the guitar?", "Write an email asking for a day off.", "What makes a story interesting?",
]
