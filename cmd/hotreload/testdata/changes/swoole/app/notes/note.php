<?php

// note v1
